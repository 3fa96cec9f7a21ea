def from_theirs(w, x, s):
    t = s[:, None]
    u = -w
    noise = x + (1 - t) * u
    return u, x - t * u, noise, -noise / t
