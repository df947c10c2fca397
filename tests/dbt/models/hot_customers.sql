with hot as (select * from {{ source('live', 'hot') }})
select c.name, h.total from hot h join {{ ref('big_customers') }} c on c.id = h.customer_id
