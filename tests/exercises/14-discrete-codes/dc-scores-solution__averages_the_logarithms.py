def three_scores(log_p, k, first, second):
    prior = first[:, None] * second
    joint = log_p + prior.log()
    own = joint[torch.arange(len(k)), k[:, 0], k[:, 1]]
    return own, joint.flatten(1).amax(1), (prior * log_p).sum((1, 2))
