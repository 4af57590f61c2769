def summarized(*a):
    pass


def write_result(*a):
    pass
