def flow_log_prob(u, x, steps, signs=None):
    def slopes(x, t):
        J = torch.stack(
            [torch.autograd.functional.jacobian(lambda p: u(p[None], t)[0], p) for p in x]
        )
        if signs is None:
            return u(x, t), J.diagonal(dim1=1, dim2=2).sum(1)
        return u(x, t), torch.einsum("bi,bij,bj->b", signs, J, signs)

    total = torch.zeros(len(x))
    for k in range(steps):
        here, trace = slopes(x, k / steps)
        there, later = slopes(x + here / steps, (k + 1) / steps)
        x, total = x + (here + there) / (2 * steps), total + (trace + later) / (2 * steps)
    return total - 0.5 * (x.square() + math.log(2 * math.pi)).sum(1)
