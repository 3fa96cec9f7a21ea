def exact_gradient(x, W, b, c):
    states = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=x.dtype)] * len(b))
    positive = x.T @ (c + x @ W).sigmoid() / len(x)
    return positive - states.T @ (c + states @ W).sigmoid() / len(states)


def cd_gradient(x, W, b, c):
    mean_h = (c + x @ W).sigmoid()
    x_new = torch.bernoulli((b + torch.bernoulli(mean_h) @ W.T).sigmoid())
    return (x.T @ mean_h - x_new.T @ (c + x_new @ W).sigmoid()) / len(x)
