def images_needed(log_p, log_q, z):
    difference = log_p - log_q
    return int((z * difference.std() / difference.mean()) ** 2)
