def grad_log_z(J, h, n):
    x = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * n)
    pairs, total = (x[:, 1:] * x[:, :-1]).sum(1), x.sum(1)
    p = (J * pairs + h * total).softmax(0)
    return -(p * pairs).sum(), -(p * total).sum()
