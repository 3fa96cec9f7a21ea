def end_target(net, u, x, r, t):
    U, slope = jvp(lambda r: net(x, r, t), (r,), (torch.ones_like(r),))
    passed = (t - r)[:, None]
    return (u(x - passed * U, r) + passed * slope).detach()


def jumps(net, x, times):
    start = torch.full((len(x),), times[0])
    for r in times[1:]:
        x = x - (times[0] - r) * net(x, torch.full((len(x),), r), start)
    return x
