def three_scores(log_p, k, first, second):
    joint = log_p + (first[:, None] * second).log()
    own = joint[torch.arange(len(k)), k[:, 0], k[:, 1]]
    return own, joint.flatten(1).amax(1), joint.exp().sum((1, 2)).log()
