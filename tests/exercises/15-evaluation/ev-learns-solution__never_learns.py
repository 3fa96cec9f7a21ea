def encode(symbols, K):
    state = 1
    for k in reversed(symbols):
        state = coding.push(state, k, [1] * K)
    return state


def decode(code, n, K):
    symbols = []
    for _ in range(n):
        code, k = coding.pop(code, [1] * K)
        symbols.append(k)
    return symbols
