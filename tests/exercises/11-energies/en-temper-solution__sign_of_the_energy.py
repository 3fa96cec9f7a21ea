def temper(p, T):
    return (-p.log() / T).softmax(0)
