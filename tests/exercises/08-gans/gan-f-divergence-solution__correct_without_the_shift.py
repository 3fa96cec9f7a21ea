def kl_critic(T, real, fake):
    return T(real) - torch.exp(T(fake)) / math.e


def kl_best(p, q):
    return torch.log(p) - torch.log(q) + 1
