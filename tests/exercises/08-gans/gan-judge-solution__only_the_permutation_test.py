def judge(x, train, test):
    _, p_value = dgm.evaluate.mmd_test(x, test, permutations=200)
    return "different" if p_value < 0.01 else "no difference"
