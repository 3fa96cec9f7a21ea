def factors(a):
    return a - (a.sum(0) - a) / (len(a) - 1)  # leave-one-out for the ELBO
