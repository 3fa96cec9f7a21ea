def sign_flip_p(a, b):
    d = (a - b).double()
    wins, n = int((d > 0).sum()), int((d != 0).sum())
    return sum(math.comb(n, k) for k in range(wins, n + 1)) / 2**n
