def judge(x, train, test):
    nearer, _ = dgm.evaluate.copying(x, train, test)
    if nearer > 0.9:
        return "copies"
    value, _ = dgm.evaluate.mmd_test(x, test, permutations=200)
    return "different" if value < 0.01 else "no difference"
