def guided_step(x, x0_y, x0, w, now, then, eta, z):
    (alpha_t, sigma_t), (alpha_s, sigma_s) = now, then
    image = (x0_y + w * (x0_y - x0)).clamp(-1, 1)
    noise = (x - alpha_t * image) / sigma_t
    fresh = eta * sigma_s
    return alpha_s * image + math.sqrt(sigma_s**2 - fresh**2) * noise + fresh * z
