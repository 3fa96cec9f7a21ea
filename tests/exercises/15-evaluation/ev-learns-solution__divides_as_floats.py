def encode(symbols, K):
    f = [1 + symbols.count(k) for k in range(K)]
    state = 1
    for k in reversed(symbols):
        f[k] -= 1
        state = int(state / f[k]) * sum(f) + sum(f[:k]) + state % f[k]
    return state


def decode(code, n, K):
    f, symbols = [1] * K, []
    for _ in range(n):
        code, k = coding.pop(code, f)
        symbols.append(k)
        f[k] += 1
    return symbols
