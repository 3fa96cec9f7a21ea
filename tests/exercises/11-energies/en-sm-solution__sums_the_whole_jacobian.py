def score_matching(score, x):
    x = x.detach().requires_grad_()
    s = score(x)
    (slope,) = torch.autograd.grad(s.sum(), x, create_graph=True)
    return 0.5 * s.square().sum(1) + slope.sum(1)
