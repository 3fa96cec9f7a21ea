def free(x, W, b, c):
    return x @ b + F.softplus(c + x @ W).sum(1)


def exact_gradient(x, W, b, c):
    W = W.clone().requires_grad_()
    states = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=x.dtype)] * len(b))
    value = free(x, W, b, c).mean() - free(states, W, b, c).logsumexp(0)
    return torch.autograd.grad(value, W)[0]


def cd_gradient(x, W, b, c):
    h = Bernoulli(logits=c + x @ W).sample()
    x_new = Bernoulli(logits=b + h @ W.T).sample()
    W = W.clone().requires_grad_()
    value = (free(x, W, b, c) - free(x_new, W, b, c)).mean()
    return torch.autograd.grad(value, W)[0]
