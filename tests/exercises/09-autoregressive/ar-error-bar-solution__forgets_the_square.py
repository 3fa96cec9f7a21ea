def images_needed(log_p, log_q, z):
    difference = log_p - log_q
    return math.ceil(z * difference.std() / difference.mean().abs())
