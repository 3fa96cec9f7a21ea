def sign_flip_p(a, b):
    d = [float(v) for v in a - b]

    def ways(rest, needed):  # of choosing the signs of the rest so that their sum is enough
        if not rest:
            return int(needed <= 1e-9)
        first, *others = rest
        return ways(others, needed - first) + ways(others, needed + first)

    return ways(d, sum(d)) / 2 ** len(d)
