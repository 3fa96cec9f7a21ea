def three_scores(log_p, k, first, second):
    joint = log_p - 2 * math.log(len(first))
    own = joint[torch.arange(len(k)), k[:, 0], k[:, 1]]
    return own, joint.flatten(1).amax(1), joint.flatten(1).logsumexp(1)
