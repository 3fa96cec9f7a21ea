def encode(symbols, K):
    f, state = [1] * K, 1
    for k in symbols:
        state = coding.push(state, k, f)
        f[k] += 1
    return state


def decode(code, n, K):
    f, symbols = [1] * K, []
    for _ in range(n):
        code, k = coding.pop(code, f)
        symbols.append(k)
        f[k] += 1
    return symbols
