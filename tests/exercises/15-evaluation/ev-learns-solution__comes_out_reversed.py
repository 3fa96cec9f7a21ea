def encode(symbols, K):
    f, rows = [1] * K, []
    for k in reversed(symbols):
        rows.append((k, list(f)))
        f[k] += 1
    state = 1
    for k, row in reversed(rows):
        state = coding.push(state, k, row)
    return state


def decode(code, n, K):
    f, symbols = [1] * K, []
    for _ in range(n):
        code, k = coding.pop(code, f)
        symbols.append(k)
        f[k] += 1
    return symbols
