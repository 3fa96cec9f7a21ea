def exact_gradient(x, W, b, c):
    states = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=x.dtype)] * len(b))
    p = (states @ b + F.softplus(c + states @ W).sum(1)).softmax(0)
    positive = x.T @ (c + x @ W).sigmoid() / len(x)
    return (p[:, None] * states).T @ (c + states @ W).sigmoid() - positive


def cd_gradient(x, W, b, c):
    mean_h = (c + x @ W).sigmoid()
    x_new = torch.bernoulli((b + torch.bernoulli(mean_h) @ W.T).sigmoid())
    return (x_new.T @ (c + x_new @ W).sigmoid() - x.T @ mean_h) / len(x)
