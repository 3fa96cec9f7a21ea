def classify(log_w, prior):
    bounds = log_w.mean(0)
    joint = bounds + prior.log()
    return joint.softmax(1), joint.logsumexp(1)
