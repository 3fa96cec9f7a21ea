def end_target(net, u, x, r, t):
    def rows(r):
        return net(x, r, t)  # each depends on its own r alone

    U = rows(r).detach()
    slope = torch.autograd.functional.jacobian(lambda r: rows(r).sum(0), r).T  # (B, D)
    x_r = x.detach() + (r - t)[:, None] * U
    return u(x_r, r).detach() - (r - t)[:, None] * slope


def jumps(net, x, times):
    while len(times) > 1:
        t, r, *rest = times
        x = x + (r - t) * net(x, r + 0 * x[:, 0], t + 0 * x[:, 0])
        times = [r, *rest]
    return x
