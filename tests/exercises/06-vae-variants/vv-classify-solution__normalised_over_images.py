def classify(log_w, prior):
    bounds = log_w.logsumexp(0) - math.log(len(log_w))
    joint = bounds + prior.log()
    return joint.softmax(0), joint.logsumexp(1)
