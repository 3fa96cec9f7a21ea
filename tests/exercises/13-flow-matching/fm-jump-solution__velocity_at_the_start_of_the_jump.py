def end_target(net, u, x, r, t):
    U, slope = jvp(lambda r: net(x, r, t), (r,), (torch.ones_like(r),))
    passed = (t - r)[:, None]
    return (u(x, t) + passed * slope).detach()


def jumps(net, x, times):
    for t, r in pairwise(times):
        x = x - (t - r) * net(x, torch.full((len(x),), r), torch.full((len(x),), t))
    return x
