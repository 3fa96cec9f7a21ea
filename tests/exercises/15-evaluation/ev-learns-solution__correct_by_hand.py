def encode(symbols, K):
    seen, steps = [0] * K, []
    for i, k in enumerate(symbols):
        below = sum(seen[:k]) + k  # the numbers that belong to smaller symbols
        steps.append((seen[k] + 1, below, K + i))
        seen[k] += 1
    state = 0
    for f, below, total in steps[::-1]:
        state = state // f * total + below + state % f
    return state


def decode(code, n, K):
    seen, message = [0] * K, []
    for i in range(n):
        code, rest = divmod(code, K + i)
        k = 0
        while rest > seen[k]:
            rest -= seen[k] + 1
            k += 1
        code = code * (seen[k] + 1) + rest
        seen[k] += 1
        message.append(k)
    return message
