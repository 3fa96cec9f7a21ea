def guided_step(x, x0_y, x0, w, now, then, eta, z):
    (alpha_t, sigma_t), (alpha_s, sigma_s) = now, then
    image = (x0_y + w * (x0_y - x0)).clamp(-1, 1)
    noise = (x - alpha_t * image) / sigma_t
    step = sigma_t**2 - (alpha_t / alpha_s * sigma_s) ** 2
    fresh = eta**2 * sigma_s**2 / sigma_t**2 * step
    return alpha_s * image + math.sqrt(sigma_s**2 - fresh**2) * noise + fresh * z
