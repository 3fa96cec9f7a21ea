def encode(symbols, K):
    f = [1 + symbols.count(k) for k in range(K)]
    state = 1
    for k in reversed(symbols):
        f[k] -= 1
        state = coding.push(state, k, f)
    return state


def decode(code, n, K):
    symbols = []
    for _ in range(n):
        code, k = coding.pop(code, [1] * K)
        symbols.append(k)
    return symbols
