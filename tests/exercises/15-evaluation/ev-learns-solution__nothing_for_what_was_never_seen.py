def encode(symbols, K):
    f = [symbols.count(k) for k in range(K)]
    state = 1
    for k in reversed(symbols):
        f[k] -= 1
        state = coding.push(state, k, f)
    return state


def decode(code, n, K):
    f, symbols = [0] * K, []
    for _ in range(n):
        code, k = coding.pop(code, f)
        symbols.append(k)
        f[k] += 1
    return symbols
