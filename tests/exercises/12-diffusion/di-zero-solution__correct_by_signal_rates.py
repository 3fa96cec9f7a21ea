def zero_terminal(abar):
    first, last = abar[0] ** 0.5, abar[-1] ** 0.5
    root = first * (abar**0.5 - last) / (first - last)
    keep = root.clone()  # of the root, step by step
    keep[1:] = root[1:] / root[:-1]
    return root.square(), 1 - keep.square()
