def images_needed(log_p, log_q, z):
    variance = log_p.var() + log_q.var()
    return math.ceil(z**2 * variance / (log_p.mean() - log_q.mean()) ** 2)
