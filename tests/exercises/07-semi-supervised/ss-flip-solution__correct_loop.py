from itertools import product


def flip_test(a, b):
    d = (a - b).tolist()
    seen = abs(sum(d)) / len(d) - 1e-4
    flips = list(product((1, -1), repeat=len(d)))
    as_large = [abs(sum(s * x for s, x in zip(signs, d))) / len(d) >= seen for signs in flips]
    return sum(as_large) / len(flips)
