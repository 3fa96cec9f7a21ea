def e_step(x, weights, means):
    return (x @ means.log().T + (1 - x) @ (1 - means).log().T).softmax(1)


def m_step(x, r):
    n = r.sum(0)
    return n / len(x), (r.T @ x / n[:, None]).clamp(0.001, 0.999)
