def guided_step(x, x0_y, x0, w, now, then, eta, z):
    (a_t, s_t), (a_s, s_s) = now, then
    image = torch.minimum(torch.maximum((1 + w) * x0_y - w * x0, -torch.ones(())), torch.ones(()))
    ratio = a_t / a_s
    variance = s_s**2 * (1 - (ratio * s_s / s_t) ** 2)  # of q(x_s | x_t, x_0)
    share = math.sqrt(s_s**2 - eta**2 * variance) / s_t  # of the old noise that stays
    return share * x + (a_s - share * a_t) * image + eta * math.sqrt(variance) * z
