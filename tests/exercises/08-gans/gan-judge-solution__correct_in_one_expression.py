def judge(x, train, test):
    if dgm.evaluate.copying(x, train, test)[0] > 0.9:
        return "copies"
    unlike = dgm.evaluate.mmd_test(x, test, permutations=200)[1] < 0.01
    return ("no difference", "different")[unlike]
