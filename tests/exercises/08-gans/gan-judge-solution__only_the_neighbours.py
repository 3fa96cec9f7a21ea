def judge(x, train, test):
    nearer, _ = dgm.evaluate.copying(x, train, test)
    return "copies" if nearer > 0.9 else "no difference"
