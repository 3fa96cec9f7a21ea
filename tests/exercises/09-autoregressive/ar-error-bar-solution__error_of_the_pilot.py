def images_needed(log_p, log_q, z):
    difference = log_p - log_q
    error = difference.std() / len(difference) ** 0.5
    return math.ceil((z * error / difference.mean()) ** 2)
