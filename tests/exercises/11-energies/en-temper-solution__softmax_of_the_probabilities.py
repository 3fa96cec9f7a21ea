def temper(p, T):
    return (p / T).softmax(0)
