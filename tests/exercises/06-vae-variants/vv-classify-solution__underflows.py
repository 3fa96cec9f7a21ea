def classify(log_w, prior):
    joint = log_w.exp().mean(0) * prior
    total = joint.sum(1)
    return joint / total[:, None], total.log()
