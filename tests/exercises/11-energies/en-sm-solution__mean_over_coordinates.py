def score_matching(score, x):
    x = x.detach().requires_grad_()
    s = score(x)
    trace = 0.0
    for i in range(x.shape[1]):
        (slope,) = torch.autograd.grad(s[:, i].sum(), x, create_graph=True)
        trace = trace + slope[:, i]
    return 0.5 * s.square().mean(1) + trace / x.shape[1]
