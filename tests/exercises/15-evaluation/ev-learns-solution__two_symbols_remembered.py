def encode(symbols, K):
    state = 1
    for i in reversed(range(len(symbols))):
        f = [1 + symbols[max(0, i - 2) : i].count(k) for k in range(K)]
        state = coding.push(state, symbols[i], f)
    return state


def decode(code, n, K):
    symbols = []
    for _ in range(n):
        f = [1 + symbols[-2:].count(k) for k in range(K)]
        code, k = coding.pop(code, f)
        symbols.append(k)
    return symbols
