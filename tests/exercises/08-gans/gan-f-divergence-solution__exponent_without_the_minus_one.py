def kl_critic(T, real, fake):
    return T(real) - T(fake).exp()


def kl_best(p, q):
    return (p / q).log()
