def from_theirs(w, x, s):
    t = 1 - s[:, None]
    u = -w
    noise = x + (1 - t) * u
    return u, noise, x - t * u, -noise / t
