def leave_one_out(f, s):
    others = (f.sum(0) - f) / len(f)
    return ((f - others) * s).mean(0)
