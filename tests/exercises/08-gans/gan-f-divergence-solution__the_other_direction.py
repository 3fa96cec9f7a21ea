def kl_critic(T, real, fake):
    return T(fake) - (T(real) - 1).exp()


def kl_best(p, q):
    return 1 + (q / p).log()
