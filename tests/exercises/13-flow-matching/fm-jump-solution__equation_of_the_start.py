def end_target(net, u, x, r, t):
    v = u(x, t)
    _, change = jvp(net, (x, r, t), (v, torch.zeros_like(r), torch.ones_like(t)))
    return (v - (t - r)[:, None] * change).detach()


def jumps(net, x, times):
    for t, r in pairwise(times):
        x = x - (t - r) * net(x, torch.full((len(x),), r), torch.full((len(x),), t))
    return x
