def e_step(x, weights, means):
    return (weights.log() + x @ means.log().T + (1 - x) @ (1 - means).log().T).softmax(1)


def m_step(x, r):
    return r.mean(0), (r.T @ x / len(x)).clamp(0.001, 0.999)
