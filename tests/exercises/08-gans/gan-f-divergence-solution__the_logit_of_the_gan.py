def kl_critic(T, real, fake):
    return T(real) - (T(fake) - 1).exp()


def kl_best(p, q):
    return (p / q).log()
